import ts from 'typescript'

/** Where the types of the Kubernetes API have one for a kind. */
const MODULES: Readonly<Record<string, string>> = {
  v1: 'kubernetes-models/v1',
  'apps/v1': 'kubernetes-models/apps/v1',
  'batch/v1': 'kubernetes-models/batch/v1',
  'networking.k8s.io/v1': 'kubernetes-models/networking.k8s.io/v1',
  'policy/v1': 'kubernetes-models/policy/v1',
}

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
}

/** What the API of Kubernetes would say of `objects`: fields that it does not have, that are missing, and values of other types. */
export function mistakesIn(objects: readonly KubernetesObject[], root: string): readonly string[] {
  const lines = objects.map((object, at) => {
    const module = MODULES[object.apiVersion]
    if (module === undefined) throw new Error(`no types are known for ${object.apiVersion}`)
    return `export const one${at}: import('${module}').I${object.kind} = ${JSON.stringify(object)}\n`
  })
  const path = `${root}manifests.ts`
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  }
  const files = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...files,
    fileExists: (name) => name === path || files.fileExists(name),
    getSourceFile: (name, ...rest) =>
      name === path
        ? ts.createSourceFile(name, lines.join(''), ts.ScriptTarget.ES2022)
        : files.getSourceFile(name, ...rest),
  }
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([path], options, host))
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}
