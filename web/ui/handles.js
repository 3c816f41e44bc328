// Where the browser lends handles of files (File System Access), they are kept by IMAGE_ID, so that one click goes on with an upload.

const NAME = 'longshore';
const STORE = 'handles';

export const offersHandles = () => typeof globalThis.showOpenFilePicker === 'function' && 'indexedDB' in globalThis;

function opened() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function within(mode, act) {
  const db = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const asked = act(db.transaction(STORE, mode).objectStore(STORE));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  } finally {
    db.close();
  }
}

export const keepHandle = (imageId, handle) => within('readwrite', (store) => store.put(handle, imageId));
export const forgetHandle = (imageId) => within('readwrite', (store) => store.delete(imageId));

export async function handleOf(imageId) {
  if (!offersHandles() || !imageId) return null;
  return (await within('readonly', (store) => store.get(imageId)).catch(() => null)) ?? null;
}

/** The file behind a handle, after the person allowed it; null if not. Needs a click. */
export async function fileOf(handle) {
  if ((await handle.queryPermission({ mode: 'read' })) !== 'granted' && (await handle.requestPermission({ mode: 'read' })) !== 'granted') {
    return null;
  }
  return handle.getFile();
}
