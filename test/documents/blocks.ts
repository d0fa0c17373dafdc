import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { blocksOf } from '../e2e/support/document.ts'
import { read, root } from '../support/deploy-files.ts'

/** A block of commands in a document. */
export interface Commands {
  /** Of the page, from the root of the project, with slashes. */
  readonly page: string
  /** The nearest heading above it. */
  readonly heading: string
  /** Which of the blocks of commands below that heading it is, from 1 on. */
  readonly nth: number
  readonly line: number
  /** What it needs and a test machine lacks; null: nothing. */
  readonly needs: string | null
  readonly code: string
}

/** The documents of the project, each as its path from the root. */
export function documents(): readonly string[] {
  const below = ['.', 'bench', 'deploy', 'docs', 'openapi'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: folder !== '.', encoding: 'utf8' }).map((name) =>
      folder === '.' ? name : `${folder}/${name}`,
    ),
  )
  return below.filter((name) => name.endsWith('.md')).toSorted()
}

/** The blocks marked `sh` of a page, in their order. */
export function commandsIn(page: string): readonly Commands[] {
  const text = read(page)
  const lines = text.replaceAll(/^```[\s\S]*?^```$/gm, (code) => code.replaceAll(/^/gm, '    ')).split('\n')
  const counts = new Map<string, number>()
  return blocksOf(text)
    .filter(({ language }) => language === 'sh')
    .map(({ line, needs, code }) => {
      const above = lines.slice(0, line).findLast((one) => /^#+ /.test(one)) ?? ''
      const heading = above.replace(/^#+ /, '')
      const nth = (counts.get(heading) ?? 0) + 1
      counts.set(heading, nth)
      return { page, heading, nth, line, needs, code }
    })
}

/** The code of the blocks of commands below one heading of a page, in their order. */
export function blocksBelow(page: string, heading: string): readonly string[] {
  const found = commandsIn(page).flatMap((one) => (one.heading === heading ? [one.code] : []))
  if (found.length === 0) throw new Error(`${page} has no commands below "${heading}"`)
  return found
}

/** The code of one of them, counted from 1. */
export function block(page: string, heading: string, nth = 1): string {
  const found = blocksBelow(page, heading)[nth - 1]
  if (found === undefined) throw new Error(`${page} has no block ${nth} below "${heading}"`)
  return found
}

/** The complaint of bash about the grammar of `code`; empty when it can be read. */
export function grammarMistakesIn(code: string): string {
  try {
    execFileSync('bash', ['-n'], { input: code, stdio: ['pipe', 'pipe', 'pipe'] })
    return ''
  } catch (error) {
    return String(error)
  }
}
