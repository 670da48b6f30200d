// Who answers the page's requests: the service. `digits export-page` writes another one of these two files.

export { asBody, ask, onTokenWanted } from "./service.js";
