import { TopicValidatorResult } from '@libp2p/gossipsub'

/** What gossip does with a message by what its intake thought of it: pass on, drop, or count against the sender. */
export const verdictResults = {
  news: TopicValidatorResult.Accept,
  repeat: TopicValidatorResult.Accept,
  old: TopicValidatorResult.Ignore,
  flood: TopicValidatorResult.Ignore,
  bad: TopicValidatorResult.Reject,
} as const
