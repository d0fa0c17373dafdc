import { Type } from 'typebox'
import { isLeaseId } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import { rangeParameters } from '../keys/key-range.ts'
import { readParameters } from '../keys/queries.ts'
import { flag, integer, optionalText, redirect, timeout } from '../protocol/parameters.ts'
import { ParameterError, QueryReader, type Parameter } from '../protocol/query.ts'

const NUMBER = /^[1-9][0-9]{0,15}$/

const lease: Parameter<number | null> = {
  absent: null,
  required: true,
  schema: Type.Integer({ minimum: 1, description: 'The lease that holds the lock, as its acquisition has told.' }),
  parse(text) {
    const id = NUMBER.test(text) ? Number(text) : Number.NaN
    if (isLeaseId(id)) return id
    throw new ParameterError('must be the id of a lease: a whole number from 1 on')
  },
}

export const releaseQuery = new QueryReader({ lease, timeout, redirect })
export const lockQuery = new QueryReader({
  waiters: flag(`The answer also lists the first of those who wait, up to ${limits.lock.waitersShownMax}.`),
  ...readParameters,
})

export const locksQuery = new QueryReader({
  ...rangeParameters,
  limit: integer(1, limits.listItemsMax, limits.listItemsDefault, 'How many locks a page holds at most.'),
  cursor: optionalText('The `cursor` of the page before; the other parameters stay as they were.'),
  ...readParameters,
})
