import { limits } from '../../limits.ts'
import { pastParameters } from '../keys/queries.ts'
import { flag, integer, optionalText, redirect, timeout } from '../protocol/parameters.ts'
import { QueryReader, type Query } from '../protocol/query.ts'
import { rangeParameters } from '../keys/key-range.ts'

export const listQuery = new QueryReader({
  ...rangeParameters,
  limit: integer(1, limits.listItemsMax, limits.listItemsDefault, 'How many records a page holds at most.'),
  cursor: optionalText('The `cursor` of the page before; the other parameters stay as they were.'),
  reverse: flag('From the last key to the first.'),
  keysOnly: flag('Records without their values.'),
  countOnly: flag('Only how many keys there are.'),
  ...pastParameters,
})

export const deleteRangeQuery = new QueryReader({
  ...rangeParameters,
  all: flag('Confirms that a request without bounds deletes every key.'),
  chunked: flag(
    `In several changes, one after the other, of at most ${limits.rangeDeleteKeysMax} keys each; otherwise a range that holds more is refused.`,
  ),
  timeout,
  redirect,
})

export type ListQuery = Query<typeof listQuery.spec>
