/**
 * What a line of the log tells besides its message. The names that every line has already are not among them: readers of
 * a line with two values under one name disagree on which of them counts.
 */
export interface LogFields {
  readonly level?: never
  readonly time?: never
  readonly node?: never
  readonly msg?: never
  readonly [fact: string]: unknown
}
