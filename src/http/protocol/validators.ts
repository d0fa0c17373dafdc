import AjvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler'

type Validate = ReturnType<ReturnType<BuildCompilerFromPool>>

const build = AjvCompiler()

/**
 * Validators that are compiled when the first body comes for them. Fastify compiles those of all routes before it is ready, which is an eighth of the
 * time in which a node starts.
 */
const buildValidator: BuildCompilerFromPool = (schemas, options) => {
  const compile = build(schemas, options)
  return (route) => {
    let compiled: Validate | null = null
    const validate = (body: unknown) => {
      compiled ??= compile(route)
      const outcome = compiled(body)
      lazy.errors = compiled.errors ?? null
      return outcome
    }
    const lazy = validate as Validate
    return lazy
  }
}

/** Makes validators and serializers of schemas, for Fastify. No route has a schema for its answers. */
export const compilersFactory = { buildValidator, buildSerializer: () => () => JSON.stringify }
