// Who answers the page's requests: the service. `digits export-page` writes another one of these two files.

export { ask, onTokenWanted } from "./service.js";
