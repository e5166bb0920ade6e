// If storage is blocked, the avatar starts anew on each page.
/** @type {Store} */
const storage = {
  isBlocked() {
    try { return !sessionStorage; } catch { return true; }
  },
  read(key) {
    try { return JSON.parse(sessionStorage.getItem(key) ?? "null"); } catch { return null; }
  },
  write(key, value) {
    try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* see above */ }
  },
  remove(key) {
    try { sessionStorage.removeItem(key); } catch { /* see above */ }
  },
};
