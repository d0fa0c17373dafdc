import { redirect, timeout } from './parameters.ts'
import { QueryReader } from './query.ts'

export const noQuery = new QueryReader({})
export const timeoutQuery = new QueryReader({ timeout })
/** The query of operations that only the leader carries out. */
export const leaderQuery = new QueryReader({ timeout, redirect })
