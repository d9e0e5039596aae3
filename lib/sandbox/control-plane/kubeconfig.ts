import type { Pair } from "../x509.ts";

/**
 * A kubeconfig as k3s writes it: cluster, user and context are all called "default".
 * @param server the API server's address
 * @param serverCa the authority that signed the server's certificate
 * @param client who is to be let in
 */
export function kubeconfigFor(server: string, serverCa: Pair, client: Pair): string {
  return `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(serverCa.cert)}
    server: ${server}
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: ${base64(client.cert)}
    client-key-data: ${base64(client.key)}
`;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
