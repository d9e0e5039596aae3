import { failure } from "../calls.ts";
import { type Operation, vmOf } from "./context.ts";
import { demandRunning } from "./power.ts";

/** Names that QEMU has for keys (QKeyCode), besides letters and digits. */
const KEYS = new Set(
  [
    "shift shift_r alt alt_r ctrl ctrl_r meta_l meta_r menu compose caps_lock num_lock scroll_lock",
    "esc minus equal backspace tab bracket_left bracket_right ret semicolon apostrophe grave_accent backslash",
    "comma dot slash asterisk spc less sysrq print pause",
    "home pgup pgdn end left up down right insert delete",
    "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24",
    "kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9 kp_divide kp_multiply kp_subtract kp_add kp_enter",
    "kp_decimal kp_comma kp_equals",
    "stop again props undo front copy open paste find cut lf help ro hiragana henkan yen muhenkan",
    "katakanahiragana lang1 lang2 power sleep wake audionext audioprev audiostop audioplay audiomute",
    "volumeup volumedown mediaselect mail calculator computer ac_home ac_back ac_forward ac_refresh",
    "ac_bookmarks",
  ].flatMap((names) => names.split(" ")),
);

/**
 * Press a key of a VM's keyboard, or several at once ("ctrl-alt-delete"). Nobody reads it: what was typed is kept with
 * the VM.
 * @throws {ApiError}
 */
export async function sendKey({ world }: Operation, vmid: number, keys: string): Promise<void> {
  await world.vms.exclusively(vmid, () => {
    const vm = demandRunning(vmOf(world, vmid));
    const unknown = keys.split("-").find((key) => !isKey(key));
    if (unknown !== undefined) throw failure(`invalid parameter: ${unknown}`);
    world.vms.update(vmid, { typed: [...vm.typed, keys] });
  });
}

function isKey(name: string): boolean {
  return /^(?:[a-z0-9]|0x[0-9a-f]+)$/.test(name) || KEYS.has(name);
}
