import { describeGradients } from '#test/support/describe-gradients.ts';
import { lossCases } from './cases/losses.ts';

describeGradients('losses', lossCases);
