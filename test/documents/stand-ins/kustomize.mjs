#!/usr/bin/env node
// Stands in for `kustomize edit` where there is none: changes kustomization.yaml of the working directory, and takes the words of the documents.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const file = 'kustomization.yaml'
const { parseDocument } = await import(
  pathToFileURL(join(process.env['QUORATE_ROOT'] ?? '', 'node_modules/yaml/dist/index.js')).href
)

function refuse(why) {
  console.error(`Error: ${why}`)
  process.exit(1)
}

if (!existsSync(file)) refuse(`Missing kustomization file '${file}'`)
const document = parseDocument(readFileSync(file, 'utf8'))
const [edit, verb, kind, text = '', ...more] = process.argv.slice(2)
if (edit !== 'edit' || more.length > 0) refuse(`unknown command "${process.argv.slice(2).join(' ')}"`)
const [name, value = ''] = text.split('=')
const rowsOf = (key) => document.toJS()[key] ?? []

/** Puts `row` in the place of the one with its name. */
const put = (key, row) => document.set(key, [...rowsOf(key).filter((one) => one.name !== row.name), row])

switch (`${verb} ${kind}`) {
  case 'set image': {
    const [newName, newTag] = value.split(/:(?=[^:/]*$)/)
    put('images', { name, newName, newTag })
    break
  }
  case 'set replicas':
    if (!/^\d+$/.test(value)) refuse(`replicas ${text}`)
    put('replicas', { name, count: Number(value) })
    break
  case 'add component':
    if (!existsSync(join(text, file))) refuse(`${text} has no ${file}`)
    document.set('components', [...new Set([...rowsOf('components'), text])])
    break
  default:
    refuse(`unknown command "edit ${verb} ${kind}"`)
}
writeFileSync(file, String(document))
