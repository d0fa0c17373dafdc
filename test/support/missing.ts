/**
 * What tests need of a machine beyond Node. Null: `.ci/run` installs it, or it comes with a clone, so CI has to have it. A text is the
 * reason why a machine may lack it, also in CI.
 */
const things = {
  'a network namespace': 'a container has no right to make one unless it is given that',
  'a process namespace': 'a container has no right to make one unless it is given that',
  'a registry': 'a mirror may have only what package-lock.json names',
  'core dumps':
    'where they go is a setting of the whole machine (kernel.core_pattern), which a container cannot change',
  'docker compose': 'it comes from a package repository of its own, and Debian 12 has only the version before it',
  kubectl: 'it comes from a package repository of its own, and that of Debian 12 is too old to know components',
  mounts: 'a container has no right to mount unless it is given that',
  bash: null,
  Chromium: null,
  fish: null,
  'ip and unshare': null,
  prlimit: null,
  promtool: null,
  'systemd-analyze': null,
  'the history': null,
  zsh: null,
} as const satisfies Readonly<Record<string, string | null>>

export type Thing = keyof typeof things

/** The part of tap's `t` that is needed to say that something is missing. */
export interface Reporter {
  fail(what: string): unknown
  pass(what: string, options: { readonly skip: string }): unknown
}

/**
 * Says that a test, or the rest of it, cannot be done because this machine lacks `what`; `why` is how that shows, without a full stop.
 * It counts as skipped, and `npm test` prints the reason at its end. Where the variable `CI` is set it fails, unless `things` says why
 * such a machine may lack it.
 */
export function missing(t: Reporter, what: Thing, why: string): void {
  if (process.env['CI'] !== undefined && things[what] === null) t.fail(`CI has to have ${what}: ${why}`)
  else t.pass(`needs ${what}`, { skip: why })
}
