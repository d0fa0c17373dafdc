// Writes src/client/api-types.ts: the shapes of the API as plain types, with their descriptions, from the schemas of the built
// program. A program that uses the client sees these types, and none of the packages that the schemas are made with. With --check
// nothing is written, and a difference fails.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import * as auth from '../dist/api/auth.js'
import * as cluster from '../dist/api/cluster.js'
import * as diagnostics from '../dist/api/diagnostics.js'
import * as history from '../dist/api/history.js'
import * as keys from '../dist/api/keys.js'
import * as transactions from '../dist/api/transactions.js'
import { failures } from '../dist/lib/errors.js'

const committed = fileURLToPath(new URL('../src/client/api-types.ts', import.meta.url))

/** Those that the client takes or gives, and what they refer to. */
const schemas = {
  RecordView: keys.RecordView,
  PutAnswer: keys.PutAnswer,
  DeleteAnswer: keys.DeleteAnswer,
  ListAnswer: keys.ListAnswer,
  CountAnswer: keys.CountAnswer,
  HistoryAnswer: history.HistoryAnswer,
  TransactionCompare: transactions.TransactionCompare,
  TransactionOperation: transactions.TransactionOperation,
  TransactionBody: transactions.TransactionBody,
  OperationOutcome: transactions.OperationOutcome,
  TransactionAnswer: transactions.TransactionAnswer,
  MemberSpec: cluster.MemberSpec,
  LogIdView: cluster.LogIdView,
  VoteView: cluster.VoteView,
  MembershipView: cluster.MembershipView,
  MembershipAnswer: cluster.MembershipAnswer,
  InitializeAnswer: cluster.InitializeAnswer,
  LearnerAnswer: cluster.LearnerAnswer,
  SnapshotProgressView: cluster.SnapshotProgressView,
  MemberStatus: cluster.MemberStatus,
  DiskView: cluster.DiskView,
  ClusterStatus: cluster.ClusterStatus,
  TransferAnswer: cluster.TransferAnswer,
  SettingView: diagnostics.SettingView,
  LogLine: diagnostics.LogLine,
  DiagnosticsAnswer: diagnostics.DiagnosticsAnswer,
  GrantView: auth.GrantView,
  RoleView: auth.RoleView,
  TokenView: auth.TokenView,
  NewToken: auth.NewToken,
  SelfAnswer: auth.SelfAnswer,
}

/** By schema, and by the name under which others refer to it. */
const names = new Map(
  Object.entries(schemas).flatMap(([name, schema]) => [
    [schema, name],
    [schema.$id, name],
  ]),
)

function comment({ description }) {
  return description === undefined ? '' : `/** ${description.replaceAll('*/', '* /')} */\n`
}

function typeOf(schema) {
  return names.get(schema) ?? structureOf(schema)
}

function structureOf(schema) {
  if (schema.$ref !== undefined) {
    const name = names.get(schema.$ref)
    if (name === undefined) throw new Error(`${schema.$ref} is referred to, and not in the list`)
    return name
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return schema.enum.map((word) => JSON.stringify(word)).join(' | ')
  const alternatives = schema.anyOf ?? schema.oneOf
  if (alternatives !== undefined) return alternatives.map(typeOf).join(' | ')
  switch (schema.type) {
    case 'string':
    case 'boolean':
    case 'null':
      return schema.type
    case 'integer':
    case 'number':
      return 'number'
    case 'array':
      return `readonly (${typeOf(schema.items)})[]`
    case 'object':
      return objectType(schema)
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`)
  }
}

function objectType(schema) {
  const { properties, patternProperties, required = [], minProperties, maxProperties, additionalProperties } = schema
  if (patternProperties !== undefined) {
    return `Readonly<Record<string, ${Object.values(patternProperties).map(typeOf).join(' | ')}>>`
  }
  const members = Object.entries(properties).map(([name, schema]) => ({
    name,
    schema,
    isOptional: !required.includes(name),
  }))
  const member = ({ name, schema, isOptional }) =>
    `${comment(schema)}readonly ${name}${isOptional ? '?' : ''}: ${typeOf(schema)}\n`
  // Exactly one of the members.
  if (minProperties === 1 && maxProperties === 1) {
    return members.map((one) => `{ ${member({ ...one, isOptional: false })} }`).join(' | ')
  }
  const others = additionalProperties === true ? 'readonly [name: string]: unknown\n' : ''
  return `{ ${members.map(member).join('')}${others} }`
}

function declaration([name, schema]) {
  const type = structureOf(schema)
  const isInterface = schema.properties !== undefined && schema.maxProperties !== 1
  return comment(schema) + (isInterface ? `export interface ${name} ${type}\n` : `export type ${name} = ${type}\n`)
}

const codes = Object.keys(failures)
  .map((code) => JSON.stringify(code))
  .join(' | ')
const source = [
  '/* The shapes of the API. Written by scripts/client-types.mjs from the schemas in src/api; not to be edited. */\n',
  `/** Every code with which a request can fail. docs/ERRORS.md says what each means. */\nexport type ErrorCode = ${codes}\n`,
  ...Object.entries(schemas).map(declaration),
].join('\n')
const text = await format(source, { ...(await resolveConfig(committed)), parser: 'typescript' })

if (process.argv.includes('--check')) {
  if (readFileSync(committed, 'utf8') !== text) {
    console.error('src/client/api-types.ts differs from the schemas: run `npm run openapi` and commit it.')
    process.exitCode = 1
  }
} else {
  writeFileSync(committed, text)
  console.log(`wrote ${committed}`)
}
