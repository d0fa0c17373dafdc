import type { Setting } from './setting.ts'

/** What is written for a setting. */
export interface Given {
  readonly text: string
  /** With its flag, variable, or file and line, as a message shows it. */
  readonly shown: string
  /** Where it is written: `flag`, `QUORATE_HEARTBEAT`, `quorate.yaml:3`; or `default`. */
  readonly source: string
}

/** The text as messages may show it: a secret stays out of them. */
export function showable({ secret }: Pick<Setting<unknown>, 'secret'>, text: string): string {
  return secret === true ? '(secret)' : text
}
