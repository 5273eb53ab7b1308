import { describe, expect, it } from 'vitest'
import { readRecord } from '#adapters/datasets/record.ts'

const choice = { kind: 'choice', question: 'Which?', choices: ['a dog', 'a cat'], answer: 1 }

describe('records as data sets have them', () => {
  it.each([
    [{ text: 'x' }, { kind: 'text', text: 'x' }],
    [
      { content: 'x', id: 3 },
      { kind: 'text', text: 'x' },
    ],
    [
      { prompt: 'p', completion: 'c' },
      { kind: 'completion', prompt: 'p', completion: 'c' },
    ],
    [
      { instruction: 'do', input: '', output: 'done' },
      { kind: 'completion', prompt: 'do', completion: 'done' },
    ],
    [
      { instruction: 'do', input: 'it', output: 'done' },
      { kind: 'completion', prompt: 'do\n\nit', completion: 'done' },
    ],
    [
      { question: 'q', answer: 'a' },
      { kind: 'completion', prompt: 'q', completion: 'a' },
    ],
    [
      { question: 'q', answer: 4 },
      { kind: 'completion', prompt: 'q', completion: '4' },
    ],
    [
      { question: 'q', context: 'of', answer: 'a' },
      { kind: 'completion', prompt: 'q\n\nof', completion: 'a' },
    ],
  ])('%j is %j', (record, body) => {
    expect(readRecord(record)).toEqual(body)
  })

  it.each([
    [{ question: 'Which?', choices: ['a dog', 'a cat'], answer: 1 }],
    [{ question: 'Which?', choices: ['a dog', 'a cat'], answer: 'a cat' }],
    [{ question: 'Which?', options: ['a dog', 'a cat'], label: 'B' }],
    [{ question: 'Which?', choices: ['a dog', 'a cat'], answer: '1' }],
    [{ question: 'Which?', choices: { text: ['a dog', 'a cat'], label: ['1', '2'] }, answerKey: '2' }],
    [
      {
        question: 'Which?',
        choices: [
          { text: 'a dog', label: 'A' },
          { text: 'a cat', label: 'B' },
        ],
        answer: 'B',
      },
    ],
    [{ question: 'Which?', choices: '["a dog", "a cat"]', answer: '1' }],
    [{ ctx: 'Which?', endings: ['a dog', 'a cat'], label: '1' }],
    [{ ctx: 'Which?', ending0: 'a dog', ending1: 'a cat', label: 1 }],
    [{ goal: 'Which?', sol1: 'a dog', sol2: 'a cat', label: 1 }],
    [{ Question: 'Which?', A: 'a dog', B: 'a cat', Answer: 'B' }],
  ])('%j is a question with choices', (record) => {
    expect(readRecord(record)).toEqual(choice)
  })

  it('takes an answer for a choice’s text before it takes it for a place', () => {
    expect(readRecord({ question: 'q', choices: ['3', '1', '0'], answer: '1' })).toMatchObject({ answer: 1 })
    expect(readRecord({ question: 'q', choices: ['3', '1', '0'], answer: 0 })).toMatchObject({ answer: 0 })
  })

  it('knows conversations by several names', () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ]
    const chat = { kind: 'chat', messages }
    expect(readRecord({ messages, text: 'ignored' })).toEqual(chat)
    expect(readRecord(messages)).toEqual(chat)
    const shared = [
      { from: 'human', value: 'Hi' },
      { from: 'gpt', value: 'Hello' },
    ]
    expect(readRecord({ conversations: shared })).toEqual(chat)
    const parts = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }, messages[1]]
    expect(readRecord({ messages: parts })).toEqual(chat)
  })

  it.each([
    [null],
    [7],
    ['text'],
    [[]],
    [{}],
    [{ text: '' }],
    [{ text: ' \n' }],
    [{ text: { nested: true } }],
    [{ prompt: 'p' }],
    [{ completion: 'c' }],
    [{ prompt: 'p', completion: ' ' }],
    [{ messages: [{ role: 'user', content: 'no answer' }] }],
    [
      {
        messages: [
          { role: 'tool', content: 'x' },
          { role: 'assistant', content: 'y' },
        ],
      },
    ],
    [{ question: 'q', choices: ['one', 'two'] }],
    [{ choices: ['one', 'two'], answer: 0 }],
    [JSON.parse('{"__proto__": {"text": "x"}}')],
  ])('%j is none', (record) => {
    expect(readRecord(record)).toBeNull()
  })
})
