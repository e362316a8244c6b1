// Everything here is a comfort: each page also works by plain form and reload.
document.documentElement.classList.add("js");
