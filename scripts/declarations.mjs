// Writes the type declarations of what programs import, beside the built files: those of src/client/index.ts and of the files that
// they refer to, and no others.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const { config } = ts.readConfigFile(`${root}tsconfig.json`, (path) => readFileSync(path, 'utf8'))
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
const compilerOptions = {
  ...options,
  noEmit: false,
  declaration: true,
  stripInternal: true,
  isolatedDeclarations: true,
}

const pending = [`${root}src/client/index.ts`]
const written = new Set(pending)
for (const path of pending) {
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(readFileSync(path, 'utf8'), {
    fileName: path,
    compilerOptions,
    reportDiagnostics: true,
  })
  if (diagnostics.length > 0) {
    const host = { getCurrentDirectory: () => root, getCanonicalFileName: (name) => name, getNewLine: () => '\n' }
    console.error(ts.formatDiagnostics(diagnostics, host))
    process.exit(1)
  }
  const declarations = outputText.replaceAll(
    /(from ['"]\.\.?\/[^'"]*)\.ts(['"])/g,
    (_, start, end) => `${start}.js${end}`,
  )
  writeFileSync(`${root}dist/${relative(`${root}src`, path).replace(/\.ts$/, '.d.ts')}`, declarations)
  for (const [, target] of declarations.matchAll(/from ['"](\.\.?\/[^'"]*)\.js['"]/g)) {
    const imported = resolve(dirname(path), `${target}.ts`)
    if (written.has(imported)) continue
    written.add(imported)
    pending.push(imported)
  }
}
