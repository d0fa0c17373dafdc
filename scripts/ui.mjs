// Builds the dashboard of src/ui into dist/ui. Each file gets compressed forms beside it, so that a node only has to send them.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const outDir = `${root}dist/ui`

await build({
  configFile: false,
  root: `${root}src/ui`,
  // The page finds its files from where it stands, so a proxy may put a path in front.
  base: './',
  logLevel: 'warn',
  build: {
    outDir,
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // Nothing is written into the page: its policy allows files of the node alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})

const files = await readdir(outDir, { recursive: true, withFileTypes: true })
for (const file of files.filter((entry) => entry.isFile())) {
  const path = `${file.parentPath}/${file.name}`
  const bytes = await readFile(path)
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
  await writeFile(`${path}.br`, brotliCompressSync(bytes, { params }))
  await writeFile(`${path}.gz`, gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }))
}
