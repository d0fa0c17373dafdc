import { redirect, timeout } from './parameters.ts'
import { QueryReader } from './query.ts'

export const noQuery = new QueryReader({})
export const timeoutQuery = new QueryReader({ timeout })
/** Of what only the leader does. */
export const leaderQuery = new QueryReader({ timeout, redirect })
