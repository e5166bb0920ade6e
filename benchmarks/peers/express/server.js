// A token endpoint with Express like the vendor's documentation: one login for each request.

import express from "express";

const { AVATAR_API_KEY, SENTIFYD_BACKEND, PORT } = process.env;
const app = express();

app.get("/request_tokens", async (_, response) => {
  try {
    const answer = await fetch(`${SENTIFYD_BACKEND}/api/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ avatar_api_key: AVATAR_API_KEY }),
    });
    const found = await answer.json();
    if (answer.status !== 200) {
      response.status(answer.status).json({ error: "Authentication failed", details: found });
      return;
    }
    const { access_token: accessToken, refresh_token: refreshToken, avatar_params } = found.data;
    response.json({ tokens: { accessToken, refreshToken }, avatarParameters: avatar_params });
  } catch {
    response.status(500).json({ error: "Internal server error" });
  }
});

app.listen(Number(PORT), "127.0.0.1");
