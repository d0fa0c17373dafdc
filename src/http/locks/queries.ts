import { Type } from 'typebox'
import { isLeaseId } from '../../kv/index.ts'
import { readParameters } from '../keys/queries.ts'
import { redirect, timeout } from '../protocol/parameters.ts'
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
export const lockQuery = new QueryReader(readParameters)
