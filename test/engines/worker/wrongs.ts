/** What the failing worker does for a hidden state that starts with the number. */
export const wrongs = {
  throws: 1001,
  saysNonsense: 1002,
  answersWhatWasNotAsked: 1003,
  hangs: 1004,
  computesFor300Ms: 1005,
  hangsAfterNext: 1008,
  exits: 1006,
  answersTooLittle: 1007,
} as const
