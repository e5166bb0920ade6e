import { registerSentifydRealtime } from "sentifyd-realtime";

registerSentifydRealtime();
