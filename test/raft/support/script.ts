import { commands } from './script-commands.ts'
import { diffLines, parseScript, renderScript, type ScriptPart } from './script-file.ts'
import { Stage } from './script-stage.ts'
import { ScriptError, Words } from './script-words.ts'

export interface ScriptRun {
  /** The script with what its commands print now. */
  readonly text: string
  /** Empty when that is what it says already. */
  readonly differences: readonly string[]
}

/**
 * Runs a script (the format is in script-file.ts) on a fresh stage. Throws a ScriptError that names the file and the line when it is
 * malformed, when a command cannot be carried out, and when a core breaks an invariant, so that no regenerated output can hide that.
 */
export function runScript(name: string, text: string): ScriptRun {
  const stage = new Stage()
  const differences: string[] = []
  const parts = parseScript(name, text).map((part): ScriptPart => {
    if (!('commands' in part)) return part
    for (const { line, text: command } of part.commands) {
      try {
        execute(stage, command)
      } catch (error) {
        throw new ScriptError(`${name}:${line}: ${command}: ${messageOf(error)}`, { cause: error })
      }
    }
    const printed = stage.takePrinted()
    const actual = printed.length === 0 ? ['ok'] : printed
    if (actual.join('\n') !== part.expected.join('\n')) {
      differences.push(`${name}:${part.line}:`, ...diffLines(part.expected, actual))
    }
    return { ...part, expected: actual }
  })
  const rendered = renderScript(parts)
  if (differences.length === 0 && rendered !== text) differences.push(`${name}: parts are not one blank line apart`)
  return { text: rendered, differences }
}

function execute(stage: Stage, command: string): void {
  const [name = '', ...rest] = command.split(/\s+/)
  const parse = commands.get(name)
  if (parse === undefined) throw new ScriptError(`"${name}" is not a command`)
  const words = new Words(rest)
  const act = parse(words)
  words.end()
  act(stage)
}

function messageOf(error: unknown): string {
  return error instanceof Error
    ? `${error.message}${error instanceof ScriptError ? '' : ` (${error.name})`}`
    : String(error)
}
