// One step of a verification, as the words of the code that take it. To drop the step is to put other words there; a test holds
// each to standing in its file exactly once.

export type Mutation = Readonly<{ step: string; file: string; words: string; instead: string }>;

/** `words` are a whole statement. */
export const drop = (step: string, file: string, words: string): Mutation => change(step, file, words, ';');

export function change(step: string, file: string, words: string, instead: string): Mutation {
  return { step, file, words, instead };
}
