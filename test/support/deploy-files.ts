import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'

export const root = new URL('../../', import.meta.url).pathname
export const read = (path: string): string => readFileSync(join(root, path), 'utf8')

export type Variables = Readonly<Record<string, string | number>>

export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: Record<string, unknown>
}

export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } }
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Container {
  readonly image: string
  readonly args: readonly string[]
  readonly env: readonly EnvironmentVariable[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

interface StatefulSetSpec {
  readonly serviceName: string
  readonly replicas: number
  readonly ordinals: { readonly start: number }
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> }
    readonly spec: {
      readonly terminationGracePeriodSeconds: number
      readonly containers: readonly [Container]
    }
  }
}

export const kubernetes = 'deploy/kubernetes'

export function manifests(): readonly Manifest[] {
  const { resources } = parse(read(`${kubernetes}/kustomization.yaml`)) as { resources: readonly string[] }
  return resources.flatMap((name) =>
    parseAllDocuments(read(`${kubernetes}/${name}`)).map((document) => {
      if (document.errors.length > 0) throw new Error(`${name}: ${document.errors.join(', ')}`)
      return document.toJS() as Manifest
    }),
  )
}

export function statefulSet(): StatefulSetSpec {
  return manifests().find(({ kind }) => kind === 'StatefulSet')?.spec as unknown as StatefulSetSpec
}

/** The variables of a pod, as Kubernetes makes them. */
export function variablesOf({ env }: Container, ordinal: number): Variables {
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': `quorate-${ordinal}`,
    'metadata.namespace': 'store',
    "metadata.labels['apps.kubernetes.io/pod-index']": String(ordinal),
  }
  const variables: Record<string, string> = {}
  for (const { name, value, valueFrom } of env) {
    const text = value ?? fields[valueFrom?.fieldRef.fieldPath ?? '']
    if (text === undefined) throw new Error(`${name} has no value`)
    variables[name] = text.replaceAll(/\$\((\w+)\)/g, (_, other: string) => variables[other] ?? `no ${other}`)
  }
  return variables
}
