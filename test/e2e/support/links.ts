import { readFileSync } from 'node:fs'
import { posix } from 'node:path'

/**
 * The relative links of `documents` that lead nowhere, each with its place. `documents` and `files` are paths below `root` with
 * slashes; a link may lead to a file of `files`, to a folder with such files, and to a heading of a document among them.
 */
export function brokenLinks(root: string, documents: readonly string[], files: readonly string[]): string[] {
  const targets = new Set(files.flatMap((file) => [file, ...foldersOf(file)]))
  return documents.flatMap((document) =>
    linksOf(readFileSync(posix.join(root, document), 'utf8')).flatMap((link) => {
      const [path = '', heading] = link.split('#')
      const target = path === '' ? document : posix.join(posix.dirname(document), path).replace(/\/$/, '')
      if (!targets.has(target)) return [`${document}: ${link} leads to no file`]
      if (heading === undefined) return []
      const headings = headingsOf(readFileSync(posix.join(root, target), 'utf8'))
      return headings.includes(heading) ? [] : [`${document}: ${link} leads to no heading`]
    }),
  )
}

function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1)
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'))
}

/** Targets without a scheme of their own. */
function linksOf(text: string): string[] {
  const found = [...withoutCode(text).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => target)
  return found.filter((target) => !/^[a-z]+:/.test(target))
}

/** The names that GitHub and npm give to the headings of a document. */
function headingsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```.*?^```/gms, '')
}
