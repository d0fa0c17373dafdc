import { limits } from '../limits.ts'
import { wholeNumber } from './connection.ts'

/** `--revision-gap`: how many revisions a cluster leaves out that is made of what is left of another one. */
export function revisionGapOf(text: string | undefined): number {
  return text === undefined ? limits.revisionGapDefault : wholeNumber(text, '--revision-gap', 0)
}
