import type { Problem } from '../client/errors.ts'
import type { ErrorCode } from '../lib/errors.ts'

/** A problem as the command line tells of it. */
interface Wording {
  /** What was wrong, from the facts of the problem. Null: a fact is missing, as from a node of another version. */
  readonly wrong: (facts: Problem) => string | null
  /** What to do about it, in flags and commands, unless an earlier attempt may have taken effect. */
  readonly advice: string
}

/**
 * The codes for which a node's own `detail` speaks of requests and parameters, because something can be done about them. For
 * every other code the detail is shown as it is.
 */
const wordings: { readonly [Code in ErrorCode]?: Wording } = {
  unauthenticated: {
    wrong: () => 'none was sent, or it is unknown, revoked or expired',
    advice: 'Name a token with --token-file, QUORATE_TOKEN_FILE or QUORATE_TOKEN.',
  },
  'no-leader': {
    wrong: () => 'none was found within the time of the request',
    advice: 'Nothing was changed. Try again; `kv get` and `kv ls` do without a leader with --consistency stale.',
  },
  'not-initialized': {
    wrong: () => 'the node belongs to no cluster yet',
    advice: 'Form one with `quorate cluster initialize`, or add the node to one with `quorate cluster add-learner`.',
  },
  'range-too-large': {
    wrong: ({ limit, found, limitBytes }) => {
      if (isCount(limitBytes)) return `the records of the range have more than ${limitBytes / 1024 ** 2} MiB together`
      return isCount(limit) && isCount(found)
        ? `the range holds ${found} keys at least, and one change deletes at most ${limit}`
        : null
    },
    advice: 'Nothing was deleted. Use a longer prefix, or delete in several changes with --chunked.',
  },
  'learner-lagging': {
    wrong: ({ id, lag }) => (isCount(id) && isCount(lag) ? `node ${id} is ${lag} entries behind` : null),
    advice: 'Wait until it has caught up, or use --allow-lagging.',
  },
  'quorum-at-risk': {
    wrong: ({ unreachable }) => {
      if (!Array.isArray(unreachable) || !unreachable.every(isCount)) return null
      const [first, ...others] = unreachable
      const who = others.length === 0 ? `node ${first} does` : `nodes ${unreachable.join(', ')} do`
      return `${who} not answer, so the new voters would have no majority`
    },
    advice: 'Bring back or leave out what does not answer, or use --force to do it anyway.',
  },
}

function isCount(fact: unknown): fact is number {
  return Number.isSafeInteger(fact)
}

/** What was wrong, and what can be done; null when the problem says all there is to say. */
export function wordingOf(problem: Problem): { readonly wrong: string; readonly advice: string | null } {
  const wording = Object.hasOwn(wordings, problem.code) ? wordings[problem.code as ErrorCode] : undefined
  return { wrong: wording?.wrong(problem) ?? problem.detail, advice: wording?.advice ?? null }
}
