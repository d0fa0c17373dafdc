/** The whole public surface of the core. Nothing outside this folder imports deeper. */
export * from './types.ts'
export type * from './message.ts'
export type * from './effects.ts'
export type * from './requests.ts'
export type * from './options.ts'
