/**
 * What a line of the log tells besides its message. The names that every line has already are not among them: a line with two values under one
 * name means another thing to each of its readers.
 */
export interface LogFields {
  readonly level?: never
  readonly time?: never
  readonly node?: never
  readonly msg?: never
  readonly [fact: string]: unknown
}
