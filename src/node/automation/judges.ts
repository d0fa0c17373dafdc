import type { Judges } from '../../ports/automation.ts'
import { decideAutopilot } from './autopilot-decision.ts'
import { decideFormation } from './formation-decision.ts'
import { decideJoining } from './joining-decision.ts'

export const judges: Judges = { decideFormation, decideJoining, decideAutopilot }
