# `npm run preflight` lints modules and environments with this. The rules come with tflint itself: nothing is downloaded.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
