import Render from 'react-markdown';
import sanitize, { defaultSchema } from 'rehype-sanitize';
import gfm from 'remark-gfm';

// Images are dropped: the address of one can carry the conversation to another host.
const schema = { ...defaultSchema, tagNames: (defaultSchema.tagNames ?? []).filter((name) => name !== 'img' && name !== 'picture' && name !== 'source') };

/** What a model wrote, as formatted text. Whoever can make the model write something must not get script or requests from it. */
export default function Markdown({ text }: { text: string }) {
  return (
    <div className="space-y-3 leading-relaxed break-words [&_code]:rounded [&_code]:bg-raised [&_code]:px-1 [&_code]:text-[0.9em] [&_li]:ml-5 [&_ol]:list-decimal [&_pre]:overflow-x-auto [&_pre]:rounded-lg [&_pre]:bg-raised [&_pre]:p-3 [&_ul]:list-disc">
      <Render remarkPlugins={[gfm]} rehypePlugins={[[sanitize, schema]]} components={{ a: Anchor }}>
        {text}
      </Render>
    </div>
  );
}

/** A link that shows where it leads, because its text can claim another place. */
function Anchor({ href, children }: { href?: string | undefined; children?: React.ReactNode }) {
  const host = hostOf(href);
  if (!host) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" className="underline">
      {children} <span className="text-xs text-mute">({host})</span>
    </a>
  );
}

/** The host that an address leads to; empty for one that is not a web page. */
export function hostOf(href: string | undefined): string {
  if (!href || !/^(https?:)?\/\//i.test(href)) return '';
  try {
    return new URL(href, 'https://relative.invalid').host;
  } catch {
    return '';
  }
}
