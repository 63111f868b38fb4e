export interface Turn {
  role: string;
  content: string;
}

/** The call of the playground as a curl command. */
export function curl(origin: string, model: string, messages: readonly Turn[]): string {
  const body = JSON.stringify({ model, messages, stream: true });
  return `curl -N ${origin}/v1/chat/completions \\\n  -H "Authorization: Bearer $TRIVET_API_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d ${quote(body)}\n`;
}

/** The call of the playground with OpenAI's SDK for JavaScript. */
export function openai(origin: string, model: string, messages: readonly Turn[]): string {
  const request = JSON.stringify({ model, messages, stream: true }, null, 2);
  return `import OpenAI from 'openai';

const client = new OpenAI({ baseURL: ${JSON.stringify(`${origin}/v1`)}, apiKey: process.env.TRIVET_API_KEY });
const stream = await client.chat.completions.create(${request});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
`;
}

/** A text as one word of a POSIX shell. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
