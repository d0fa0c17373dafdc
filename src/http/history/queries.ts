import { limits } from '../../limits.ts'
import { readParameters } from '../keys/queries.ts'
import { flag, integer, optionalKey, optionalText } from '../protocol/parameters.ts'
import { QueryReader } from '../protocol/query.ts'

export const historyQuery = new QueryReader({
  key: { ...optionalKey('The key.'), required: true },
  limit: integer(1, limits.listItemsMax, limits.listItemsDefault, 'How many versions a page holds at most.'),
  cursor: optionalText('The `cursor` of the page before; the key stays as it was.'),
  keysOnly: flag('Versions without their values.'),
  ...readParameters,
})

export const compactionQuery = new QueryReader(readParameters)
