import { sentifydRealtimePlugin } from "sentifyd-realtime/vite-plugin";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  plugins: [sentifydRealtimePlugin()],
  build: {
    rollupOptions: { input: "main.js", output: { entryFileNames: "main.js" } },
    chunkSizeWarningLimit: 2000,
  },
});
