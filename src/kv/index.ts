/** The whole public surface of the state machine. Nothing outside this folder imports deeper. */
export * from './key.ts'
export * from './record.ts'
export * from './command.ts'
export * from './result.ts'
export * from './machine.ts'
