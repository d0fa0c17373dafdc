import { limits } from '../../limits.ts'
import { readParameters } from '../keys/queries.ts'
import { integer, optionalInteger, optionalText } from '../protocol/parameters.ts'
import { QueryReader } from '../protocol/query.ts'

export const leasesQuery = new QueryReader({
  limit: integer(1, limits.listItemsMax, limits.listItemsDefault, 'How many leases a page holds at most.'),
  cursor: optionalInteger(1, 'The `cursor` of the page before.'),
  ...readParameters,
})

export const leaseQuery = new QueryReader({
  limit: integer(1, limits.listItemsMax, limits.listItemsMax, 'How many keys a page holds at most.'),
  cursor: optionalText('The `cursor` of the page before.'),
  ...readParameters,
})
