/** A command with flags, quoted for a shell. Flags without a value are left out. */
export function shellCommand(command: string, flags: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(flags).flatMap(([flag, text]) => (text === undefined ? [] : [flag, shellWord(text)]))
  return [command, ...given].join(' ')
}

/** Inside single quotes, a shell gives a meaning only to the single quote itself. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
