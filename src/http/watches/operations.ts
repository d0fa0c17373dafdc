import { Type } from 'typebox'
import { contextHeaders } from '../../api/keys.ts'
import { ref } from '../../api/schema.ts'
import { WatchEvent } from '../../api/watches.ts'
import { limits } from '../../limits.ts'
import { readErrors } from '../keys/read-errors.ts'
import { redirectAnswer } from '../protocol/leader-operation.ts'
import type { Operation } from '../protocol/operation.ts'
import { watchQuery } from './queries.ts'

export const watchKeys: Operation = {
  id: 'watchKeys',
  access: 'keys',
  tag: 'keys',
  summary: 'Watch keys',
  description:
    'A stream of changes, in the order of their revisions, each once; without bounds those of all keys. The answer ends only when the ' +
    'client leaves, or with an `error` event that says why. It resumes with `since` or `Last-Event-ID`: only the last change of a ' +
    `revision has its id. \`progress\` says that nothing up to its revision is missing. At most ${limits.watchersMax} watches are open on a ` +
    `node; a reader that takes nothing for ${limits.watchStallMsMax / 1000} s is cut off.`,
  query: watchQuery.spec,
  headers: {
    'Last-Event-ID': Type.String({
      pattern: '^[0-9]+$',
      examples: ['12'],
      description: 'The same as `since`: browsers send it when they connect again.',
    }),
  },
  answers: {
    200: {
      description:
        'Server-Sent Events (`id`: the revision; `event`: put, delete, progress or error; `data`: the record), or with ' +
        '`Accept: application/x-ndjson` an event a line. `Quorate-Revision`: the revision after which the watch begins.',
      headers: contextHeaders,
      content: {
        'text/event-stream': Type.String(),
        'application/x-ndjson': ref(WatchEvent),
      },
    },
    307: redirectAnswer,
  },
  errors: ['feature-unavailable', ...readErrors],
}
