import { Type } from 'typebox'
import { nullable, object, ref, type Shape } from './schema.ts'

/* What a node tells of itself for the report of a fault. */

export const SettingView = object(
  {
    name: Type.String({ description: 'The flag, without its dashes.' }),
    value: nullable(Type.String(), 'In the notation of the flag. Null: it is not set, or secret.'),
    source: nullable(
      Type.String(),
      'What it was set by: `flag`, the variable, the file with the line, or `default`. Null: it is not set.',
    ),
    secret: Type.Boolean({ description: 'It is set, and its value is not told.' }),
  },
  { $id: 'Setting', description: 'A setting of a node, as it took effect when the node started.' },
)
export type SettingView = Shape<typeof SettingView>

export const LogLine = Type.Object(
  {
    level: Type.Integer({ description: '10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.' }),
    time: Type.Number({ description: 'Milliseconds since 1970, by the clock of the node.' }),
    msg: Type.String({ description: 'What has happened, in a few words.' }),
  },
  { additionalProperties: true, $id: 'LogLine', description: 'A line of the log of a node, with its facts.' },
)
export type LogLine = Shape<typeof LogLine>

export const DiagnosticsAnswer = object(
  {
    node: Type.Integer({ description: 'The node that answers.' }),
    settings: Type.Array(ref(SettingView), { description: 'Every setting, in the order of `quorate serve --help`.' }),
    log: object({
      lines: Type.Array(ref(LogLine), { description: 'The last lines since the node started, the oldest first.' }),
      forgotten: Type.Integer({ minimum: 0, description: 'How many lines before them are not kept any more.' }),
    }),
  },
  { $id: 'Diagnostics', description: 'What a report of a fault needs to know of the node that answers.' },
)
export type DiagnosticsAnswer = Shape<typeof DiagnosticsAnswer>

/** The last lines of the log of the node. */
export interface LogTail {
  /** The oldest first, each a JSON object without a line break. */
  readonly lines: readonly string[]
  /** How many lines before them are not kept any more. */
  readonly forgotten: number
}

/** What the node tells of itself for the report of a fault. No secret is in it. */
export interface Diagnostics {
  /** As they took effect when the node started. */
  readonly settings: readonly SettingView[]
  readonly log: LogTail
}
