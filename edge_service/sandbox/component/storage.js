// If storage is blocked, the avatar starts anew on each page.
const storage = {
  read(key) {
    try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; }
  },
  write(key, value) {
    try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* see above */ }
  },
  remove(key) {
    try { sessionStorage.removeItem(key); } catch { /* see above */ }
  },
};
