/** Advice that a node gives to clients of its API, and the equivalent on the command line. */
const WORDS: readonly (readonly [said: RegExp, here: string])[] = [
  [/\??\bconsistency=stale\b/g, '--consistency stale'],
  [/\bchunked=true\b/g, '--chunked'],
  [/\ball=true\b/g, '--all'],
  [/\btimeout=/g, '--timeout'],
  [/\bset allowLagging\b/g, 'use --allow-lagging'],
  [/\bset force\b/g, 'use --force'],
  [/\bremove it with PATCH \/cluster\/membership, or\b/g, 'remove it with'],
  [/\bPOST \/cluster\/initialize\b/g, '`quorate cluster initialize`'],
  [/\bPOST \/cluster\/learners\b/g, '`quorate cluster add-learner`'],
  [/\bGET \/cluster(\/membership)?(?![/\w])/g, '`quorate cluster status`'],
]

/** Rewrites `detail`, in which a node speaks of requests and parameters, in terms of the command line. */
export function inCommands(detail: string): string {
  return WORDS.reduce((text, [said, here]) => text.replace(said, here), detail)
}
