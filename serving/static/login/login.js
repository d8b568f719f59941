"use strict";
// The key goes to the server once; a cookie that no script can read stands for it afterwards.
const form = document.querySelector("form");
const said = document.querySelector("output");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.value = "";
  try {
    const answer = await fetch("/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: form.elements.key.value.trim() }),
    });
    const told = await answer.json();
    if (!answer.ok) {
      said.value = told.detail;
    } else if (!told.scopes.includes("read")) {
      said.value = `The key ${told.name} lacks the scope read, which this page asks for.`;
    } else {
      location.reload();
    }
  } catch {
    said.value = "The server does not answer.";
  }
});
