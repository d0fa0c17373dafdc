// Runs before `npm pack`. Of the prebuilt RocksDB binaries in its binding, the package includes those that a node can load.
// This leaves out phones and the Bare runtime, two thirds of the bytes. `npm pack --os=linux --cpu=x64` leaves out every other
// platform as well. An ignore file beside the binaries tells npm what to pack of a bundled dependency; nothing is removed from
// node_modules.
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const prebuilds = new URL('../node_modules/rocksdb-native/prebuilds/', import.meta.url)
// npm passes its flags to scripts in these variables. Without a flag its variable is absent.
const os = process.env['npm_config_os'] || null
const cpu = process.env['npm_config_cpu'] || null

const loadable = readdirSync(prebuilds, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/rocksdb-native.node`, prebuilds)))
  .map(({ name }) => name)
const kept = loadable.filter((name) => {
  const [system, processor] = name.split('-')
  return (os === null || system === os) && (cpu === null || processor === cpu)
})
if (kept.length === 0) {
  console.error(
    `There is no build of RocksDB for --os=${os ?? '*'} --cpu=${cpu ?? '*'}; there is: ${loadable.join(', ')}`,
  )
  process.exit(1)
}
const rules = ['*', ...kept.flatMap((name) => [`!/${name}/`, `!/${name}/*.node`])]
writeFileSync(fileURLToPath(new URL('.npmignore', prebuilds)), `${rules.join('\n')}\n`)
console.log(`RocksDB for ${kept.join(', ')}`)
