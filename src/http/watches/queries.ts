import { Type } from 'typebox'
import type { FastifyRequest } from 'fastify'
import { CHANGE_TYPES, type ChangeType } from '../../api/watches.ts'
import { flag, optionalInteger, optionalKey, timeout } from '../protocol/parameters.ts'
import { invalidQuery, invalidRequest, ParameterError, QueryReader, type Parameter } from '../protocol/query.ts'
import { rangeOf, rangeParameters } from '../keys/key-range.ts'
import type { WatchOptions } from '../../api/services.ts'

const types: Parameter<ReadonlySet<ChangeType>> = {
  absent: new Set(CHANGE_TYPES),
  schema: Type.String({
    pattern: '^(put|delete|put,delete|delete,put)$',
    examples: ['put', 'put,delete'],
    description: 'Which kinds of changes, separated by a comma. Default: all.',
  }),
  parse(text) {
    const found = new Set<ChangeType>()
    for (const name of text.split(',')) {
      const type = CHANGE_TYPES.find((one) => one === name)
      if (type === undefined || found.has(type)) {
        throw new ParameterError(`must be one or more of ${CHANGE_TYPES.join(', ')}, each once, separated by commas`)
      }
      found.add(type)
    }
    return found
  },
}

export const watchQuery = new QueryReader({
  key: optionalKey('Only this key. Cannot be combined with `prefix`, `start` or `end`.'),
  ...rangeParameters,
  since: optionalInteger(0, 'The changes after this revision. Absent: those after the revision of the store now.'),
  prev: flag('Each change carries the record before it, or null.'),
  types,
  timeout,
  redirect: flag(
    'Answer `307` with the address of the leader, which knows where a watch begins, instead of asking it. A watch after a revision needs no leader.',
  ),
})

/**
 * What is to be watched, from the query and `Last-Event-ID`, which a browser sends when it connects again. `redirects`: the client wants to be
 * sent to the leader, and the watch needs the leader, to know where it begins.
 */
export function watchOptions(
  text: string,
  headers: FastifyRequest['headers'],
): { readonly options: WatchOptions; readonly redirects: boolean } {
  const query = watchQuery.read(text)
  const { key, prefix, start, end, prev, types: kinds, timeout: timeoutMs } = query
  if (key !== null && (prefix !== null || start !== null || end !== null)) {
    throw invalidQuery('key', 'cannot be combined with prefix, start or end')
  }
  const since = sinceOf(query.since, headers['last-event-id'])
  const options = {
    keys: key ?? rangeOf(query),
    puts: kinds.has('put'),
    deletes: kinds.has('delete'),
    wantsPrevious: prev,
    since,
    timeoutMs,
  }
  return { options, redirects: query.redirect && since === null }
}

const REVISION = /^(?:0|[1-9][0-9]{0,15})$/

function sinceOf(since: number | null, header: string | readonly string[] | undefined): number | null {
  if (header === undefined) return since
  const id = typeof header === 'string' && REVISION.test(header) ? Number(header) : Number.NaN
  if (!Number.isSafeInteger(id)) {
    throw invalidRequest({
      path: 'header/last-event-id',
      message: 'must be the id of an event: a revision, such as 12',
    })
  }
  if (since !== null && since !== id) {
    throw invalidRequest({
      path: 'header/last-event-id',
      message: `is ${id}, and since is ${since}: send only one of them, or the same in both`,
    })
  }
  return id
}
