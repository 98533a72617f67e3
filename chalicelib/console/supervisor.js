// Code that only supervisors need. The browser loads this module after a supervisor has signed in.

import { callbacksAddress } from "./callbacks.js";
import { CallbacksPage } from "./view_callbacks.js";
import { createDialog } from "./view_create.js";
import { exportTools } from "./view_export.js";
import { OverviewPage } from "./view_overview.js";

/** The page of each section that only supervisors see, the dialog that creates a Task, the export of History, and links to callbacks. */
export const SUPERVISOR_PAGES = { overview: OverviewPage, callbacks: CallbacksPage, createDialog, exportTools, callbacksAddress };
