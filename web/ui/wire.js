// Requests on the upload URL, from the worker. The URL is the right: no session goes along.

/** No byte and no answer for so long: the connection is given up. */
const SILENCE_MS = 45_000;

export async function stateOf(path) {
  try {
    const answer = await fetch(path, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(SILENCE_MS) });
    const requestId = answer.headers.get('x-request-id') ?? '';
    const body = await answer.json().catch(() => null);
    return answer.ok && body ? { state: body, status: answer.status } : refused(answer.status, body, requestId, answer.headers.get('retry-after'));
  } catch {
    return { status: 0, code: 'network', words: '', requestId: '' };
  }
}

function refused(status, body, requestId, retryAfter) {
  return {
    status,
    code: body?.code ?? `http_${status}`,
    words: body?.detail ?? '',
    requestId: body?.requestId || requestId,
    retryAfterMs: body?.retryAfterMs ?? (Number(retryAfter) > 0 ? Number(retryAfter) * 1000 : null),
    suggestedBytes: body?.suggestedChunkBytes,
  };
}

/** Sends one slice. The browser reads the bytes from the file by itself, so that no copy of them stands in memory. */
export function sendSlice(path, file, slice, crcHex) {
  return new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    const began = performance.now();
    let silence = null;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => xhr.abort(), SILENCE_MS);
    };
    const end = (outcome) => {
      clearTimeout(silence);
      slice.abort = null;
      resolve(outcome);
    };
    slice.abort = () => {
      slice.aborted = true;
      xhr.abort();
    };
    xhr.open('PUT', path);
    xhr.setRequestHeader('Content-Type', 'application/octet-stream');
    xhr.setRequestHeader('Content-Range', `bytes ${slice.start}-${slice.end - 1}/${file.size}`);
    xhr.setRequestHeader('Content-Digest', `crc32c=:${base64(crcHex)}:`);
    xhr.upload.onprogress = ({ loaded }) => {
      slice.loaded = Math.min(loaded, slice.end - slice.start);
      alive();
    };
    xhr.onload = () => {
      let body = null;
      try {
        body = JSON.parse(xhr.responseText);
      } catch { /* A proxy in between answered. */ }
      const requestId = xhr.getResponseHeader('x-request-id') ?? '';
      const ms = performance.now() - began;
      if (xhr.status === 200 && body) end({ state: body, ms });
      else end(refused(xhr.status, body, requestId, xhr.getResponseHeader('retry-after')));
    };
    xhr.onerror = () => end({ status: 0, code: 'network', words: '', requestId: '' });
    xhr.onabort = () => end({ status: 0, code: 'network', words: '', requestId: '', aborted: slice.aborted });
    alive();
    xhr.send(file.slice(slice.start, slice.end));
  });
}

function base64(hex) {
  return btoa(String.fromCharCode(...hex.match(/../g).map((pair) => Number.parseInt(pair, 16))));
}
