import type { Argument, Command, Option } from 'commander'
import { describeSettings } from '../config/config.ts'
import type { Shell } from './shells.ts'
import { exitCodes, type Terminal } from './terminal.ts'

interface Flag {
  readonly long: string
  readonly short: string | null
  readonly summary: string
  readonly takesValue: boolean
}

/** What can follow one command: its words, from the first one after the name of the program. */
interface Place {
  readonly path: string
  readonly words: readonly { readonly word: string; readonly summary: string }[]
  readonly flags: readonly Flag[]
}

/** Prints the script that teaches a shell the commands and flags of `program`. */
export async function completion(terminal: Terminal, shell: Shell, program: Command): Promise<number> {
  await terminal.printPiece(Buffer.from(scriptFor(shell, program)))
  return exitCodes.stopped
}

export function scriptFor(shell: Shell, program: Command): string {
  const places = placesOf(program, '')
  const name = program.name()
  if (shell === 'bash') return bash(name, places)
  return shell === 'zsh' ? zsh(name, places) : fish(name, places)
}

function placesOf(command: Command, path: string): Place[] {
  const help = command.createHelp()
  const commands = help.visibleCommands(command)
  const words = commands.map((one) => ({ word: one.name(), summary: one.description() }))
  const choices = command.registeredArguments.flatMap((one: Argument) => one.argChoices ?? [])
  const own: Place = {
    path,
    words: [...words, ...choices.map((word) => ({ word, summary: '' }))],
    flags: [...help.visibleOptions(command).flatMap(flagOf), ...(path === 'serve' ? settingFlags() : [])],
  }
  const below = command.commands.flatMap((one) => placesOf(one, path === '' ? one.name() : `${path} ${one.name()}`))
  return [own, ...below]
}

function flagOf({ long, short, description, required, optional }: Option): Flag[] {
  if (long === undefined || long === null) return []
  return [{ long, short: short ?? null, summary: description, takesValue: required || optional }]
}

/** The flags of `serve`, which `config/` reads. */
function settingFlags(): Flag[] {
  return describeSettings().map(({ flag, summary }) => {
    return { long: flag.split(' ')[0] ?? flag, short: null, summary, takesValue: true }
  })
}

/** Text in single quotes, as every one of these shells reads it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

function namesOf({ long, short }: Flag): string[] {
  return short === null ? [long] : [long, short]
}

/** The cases of a `case` of bash and zsh that finds out where the cursor is. */
function walk(places: readonly Place[]): string {
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => quoted(path))
  const valued = places.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .flatMap((flag) => namesOf(flag).map((name) => quoted(`${path}:${name}`))),
  )
  return `    if [[ -n $skip ]]; then skip=; continue; fi
    case "$at:$word" in
      ${valued.join('|')}) skip=1; continue ;;
    esac
    case "\${at:+$at }$word" in
      ${paths.join('|')}) at="\${at:+$at }$word" ;;
    esac`
}

function bash(name: string, places: readonly Place[]): string {
  const cases = places.map(({ path, words, flags }) => {
    const [plain, dashed] = [words.map(({ word }) => word), flags.flatMap(namesOf)]
    return `    ${quoted(path)}) words=${quoted(plain.join(' '))} flags=${quoted(dashed.join(' '))} ;;`
  })
  return `# Completion of bash for ${name}, made by: ${name} completion bash
_${name}() {
  local at= skip= word words= flags= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
${walk(places)}
  done
  COMPREPLY=()
  [[ -n $skip ]] && return
  case "$at" in
${cases.join('\n')}
  esac
  if [[ \${COMP_WORDS[COMP_CWORD]} == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}
`
}

function zsh(name: string, places: readonly Place[]): string {
  const described = (word: string, summary: string): string =>
    quoted(`${word.replaceAll(':', String.raw`\:`)}:${summary}`)
  const cases = places.map(({ path, words, flags }) => {
    const plain = words.map(({ word, summary }) => described(word, summary))
    const dashed = flags.flatMap((flag) => namesOf(flag).map((one) => described(one, flag.summary)))
    return `    ${quoted(path)}) known=(${plain.join(' ')}); flags=(${dashed.join(' ')}) ;;`
  })
  return `#compdef ${name}
# Completion of zsh for ${name}, made by: ${name} completion zsh
_${name}() {
  local at= skip= word i
  local -a known flags
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
${walk(places)}
  done
  if [[ -n $skip ]]; then _files; return; fi
  case "$at" in
${cases.join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe -o flag flags
  elif (( \${#known} )); then _describe command known
  else _files
  fi
}
if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`
}

function fish(name: string, places: readonly Place[]): string {
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => fishQuoted(path))
  const valued = places.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .flatMap((flag) => namesOf(flag).map((one) => fishQuoted(`${path}:${one}`))),
  )
  const lines = places.flatMap(({ path, words, flags }) => {
    const here = `complete -c ${name} -n ${fishQuoted(`__${name}_is ${fishQuoted(path)}`)}`
    return [
      ...words.map(({ word, summary }) => `${here} -f -a ${fishQuoted(word)} -d ${fishQuoted(summary)}`),
      ...flags.map(({ long, short, summary, takesValue }) => {
        const names = `-l ${long.slice(2)}${short === null ? '' : ` -s ${short.slice(1)}`}`
        return `${here} ${names}${takesValue ? ' -r' : ''} -d ${fishQuoted(summary)}`
      }),
    ]
  })
  return `# Completion of fish for ${name}, made by: ${name} completion fish
function __${name}_is
  set -l at ''
  set -l skip ''
  for word in (commandline -opc)[2..-1]
    if test -n "$skip"
      set skip ''
      continue
    end
    switch "$at:$word"
      case ${valued.join(' ')}
        set skip 1
        continue
    end
    switch (string trim -- "$at $word")
      case ${paths.join(' ')}
        set at (string trim -- "$at $word")
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`
}

/** In single quotes, fish takes a backslash before a quote or a backslash. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`
}
