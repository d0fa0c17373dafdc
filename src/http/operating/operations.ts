import { Type } from 'typebox'
import { DiagnosticsAnswer } from '../../api/diagnostics.ts'
import { ref } from '../../api/schema.ts'
import { CLUSTER_ADMIN_HERE, CLUSTER_READ, jsonAnswer, type Operation } from '../protocol/operation.ts'
import { bareFlag, names } from '../protocol/parameters.ts'
import { timeoutQuery } from '../protocol/queries.ts'
import { QueryReader } from '../protocol/query.ts'

export const healthQuery = new QueryReader({
  verbose: bareFlag('A line for each check, such as `[+]leader ok`.'),
  exclude: names('Checks to leave out, separated by commas.'),
})

const text = { 'text/plain': Type.String() }

export const root: Operation = {
  id: 'getRoot',
  access: 'open',
  tag: 'operating',
  summary: 'Where to find everything',
  query: {},
  answers: {
    200: {
      description: 'What runs here, and paths to go on from.',
      content: {
        'application/json': Type.Object(
          {
            name: Type.String(),
            version: Type.String(),
            node: Type.Integer({ description: 'The node that answers.' }),
            links: Type.Record(Type.String(), Type.String(), { description: 'Paths by what is there.' }),
          },
          { additionalProperties: false },
        ),
      },
    },
  },
  errors: [],
}

export const livez: Operation = {
  id: 'getLiveness',
  access: 'open',
  tag: 'operating',
  summary: 'Whether the process responds and its stores work',
  description: 'Never depends on a quorum: restarting a node does not mend a partition.',
  query: healthQuery.spec,
  answers: { 200: { description: 'It does.', content: text } },
  errors: ['not-ready'],
  failures: { 503: text },
}

export const readyz: Operation = {
  id: 'getReadiness',
  access: 'open',
  tag: 'operating',
  summary: 'Whether this node serves linearizable reads',
  query: healthQuery.spec,
  answers: { 200: { description: 'It does.', content: text } },
  errors: ['not-ready'],
  failures: { 503: text },
}

export const metrics: Operation = {
  id: 'getMetrics',
  access: CLUSTER_READ,
  tag: 'operating',
  summary: 'Metrics for Prometheus',
  query: timeoutQuery.spec,
  answers: { 200: { description: 'The text format of Prometheus.', content: text } },
  errors: [],
}

export const diagnostics: Operation = {
  id: 'getDiagnostics',
  access: CLUSTER_ADMIN_HERE,
  isAudited: true,
  tag: 'operating',
  summary: 'Settings and last log lines of this node',
  description: 'For the report of a fault. Answered by any node in any state. No secret is in it.',
  query: timeoutQuery.spec,
  answers: { 200: jsonAnswer('What this node tells of itself.', ref(DiagnosticsAnswer)) },
  errors: [],
}

export const version: Operation = {
  id: 'getVersion',
  access: 'open',
  tag: 'operating',
  summary: 'What runs here',
  query: {},
  answers: {
    200: {
      description: 'The version.',
      content: {
        'application/json': Type.Object(
          { version: Type.String(), node: Type.String() },
          { additionalProperties: false },
        ),
      },
    },
  },
  errors: [],
}

export const openapi: Operation = {
  id: 'getOpenApi',
  access: 'open',
  tag: 'operating',
  summary: 'This document',
  query: {},
  answers: {
    200: { description: 'OpenAPI 3.1.', content: { 'application/json': Type.Unsafe<object>({ type: 'object' }) } },
  },
  errors: [],
}
